package state

import (
	"go.etcd.io/bbolt"

	"brazecdc/connector"
)

// bucketBrake holds how many deletes of a model left lately, by model.
const bucketBrake bucket = "brake"

func encodeBrake(b *connector.BrakeState) []byte {
	var e encoder
	e.str(b.Model)
	e.uint(uint64(len(b.Slots)))
	for _, s := range b.Slots {
		e.time(s.At)
		e.uint(uint64(s.N))
	}
	return e
}

func decodeBrake(b []byte) (s connector.BrakeState, err error) {
	d := decoder{b: b}
	s.Model = d.str()
	for range d.count() {
		s.Slots = append(s.Slots, connector.BrakeSlot{At: d.time(), N: int64(d.uint())})
	}
	return s, d.end()
}

func putBrakes(tx *bbolt.Tx, brakes []connector.BrakeState) error {
	for i := range brakes {
		key := hash(brakes[i].Model)
		if len(brakes[i].Slots) == 0 {
			if err := bucketBrake.delete(tx, key); err != nil {
				return err
			}
			continue
		}
		if err := bucketBrake.put(tx, key, encodeBrake(&brakes[i])); err != nil {
			return err
		}
	}
	return nil
}
