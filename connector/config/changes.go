package config

import "strconv"

// Changes are the edits that make the values of one text those of another. Items of lists are told by their names where they have some.
func Changes(before, after []byte) ([]Edit, error) {
	old, is := &editor{text: before}, &editor{text: after}
	if err := old.read(); err != nil {
		return nil, err
	}
	if err := is.read(); err != nil {
		return nil, err
	}
	return changes(nil, "", old.root, is.root), nil
}

func changes(out []Edit, path string, old, is *node) []Edit {
	switch {
	case equal(old, is):
	case old.kind == mapping && is.kind == mapping && len(old.entries) > 0 && (len(is.entries) > 0 || path == ""):
		for _, e := range is.entries {
			if before := old.child(e.key); before != nil {
				out = changes(out, join(path, e.key), before, e.node)
			} else {
				out = append(out, Edit{Path: join(path, e.key), Value: e.node.plainValue()})
			}
		}
		for _, e := range old.entries {
			if is.child(e.key) == nil {
				out = append(out, Edit{Path: join(path, e.key), Remove: true})
			}
		}
	case old.kind == mapping && is.kind == mapping && path == "":
		for _, e := range is.entries {
			out = append(out, Edit{Path: join(path, e.key), Value: e.node.plainValue()})
		}
	case old.kind == sequence && is.kind == sequence && len(is.items) > 0 && named(old) && named(is):
		return changedItems(out, path, old, is)
	default:
		out = append(out, Edit{Path: path, Value: is.plainValue()})
	}
	return out
}

// named tells whether the items of a list can be told apart by names.
func named(list *node) bool {
	seen := map[string]bool{}
	for _, item := range list.items {
		name := item.identity()
		if name == "" || seen[name] {
			return false
		}
		seen[name] = true
	}
	return len(list.items) > 0
}

// changedItems tells what changed in a list of named items. Their order is no change; one that moved stays where it was.
func changedItems(out []Edit, path string, old, is *node) []Edit {
	for _, item := range is.items {
		name := item.identity()
		if i := old.find(part{text: name, quoted: true}); i >= 0 {
			out = changes(out, path+itemStep(name), old.items[i], item)
		} else {
			out = append(out, Edit{Path: path + "[+]", Value: item.plainValue()})
		}
	}
	for _, item := range old.items {
		if name := item.identity(); is.find(part{text: name, quoted: true}) < 0 {
			out = append(out, Edit{Path: path + itemStep(name), Remove: true})
		}
	}
	return out
}

// itemStep is the step to an item by its name.
func itemStep(name string) string {
	if modelName.MatchString(name) {
		if _, err := strconv.Atoi(name); err != nil {
			return "[" + name + "]"
		}
	}
	return "[" + strconv.Quote(name) + "]"
}
