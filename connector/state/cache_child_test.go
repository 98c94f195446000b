package state

func cacheFullChild() {}
