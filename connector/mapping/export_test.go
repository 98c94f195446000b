package mapping

import (
	"fmt"
	"strings"
)

// ItemID is the id of an item.
func ItemID(parts ...string) string { return itemText(parts) }

// ItemParts gives the parts of a key back that an id was made of: that this can be done shows that no two keys have one id.
func ItemParts(id string) ([]string, error) {
	var parts []string
	var part []byte
	for i := 0; i < len(id); {
		switch rest := id[i:]; {
		case strings.HasPrefix(rest, itemJoint):
			parts, part = append(parts, string(part)), nil
			i += len(itemJoint)
		case strings.HasPrefix(rest, itemEscape):
			if len(rest) < len(itemEscape)+2 {
				return nil, fmt.Errorf("read item id %q: an escape is cut off at byte %d", id, i)
			}
			high, low := strings.IndexByte("0123456789ABCDEF", rest[2]), strings.IndexByte("0123456789ABCDEF", rest[3])
			if high < 0 || low < 0 {
				return nil, fmt.Errorf("read item id %q: what follows %q at byte %d is no hexadecimal number", id, itemEscape, i)
			}
			part = append(part, byte(high<<4|low))
			i += len(itemEscape) + 2
		case !itemByte(rest[0]):
			return nil, fmt.Errorf("read item id %q: byte %d is outside of letters, digits, - and _", id, i)
		default:
			part = append(part, rest[0])
			i++
		}
	}
	return append(parts, string(part)), nil
}
