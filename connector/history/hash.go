package history

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"hash/fnv"
	"strings"

	"brazecdc/connector"
)

// hashSize is how many bytes stand for a user or a row: the first six of a user are its reference in logs and page addresses.
const (
	hashSize = 12
	refSize  = 6
)

// id stands for a user, or a row, in the files.
type id [hashSize]byte

// gapID is what gaps are found by.
var gapID = id{'g', 'a', 'p'}

// valueID is what a payload is found by. Its number is never given twice, so that no two share a key stream.
func valueID(number uint64) id {
	of := id{8: 'v', 9: 'a', 10: 'l'}
	binary.LittleEndian.PutUint64(of[:], number)
	return of
}

// hasher makes ids and seals what they stand for. It is used by one goroutine at a time.
type hasher struct {
	mac   hash.Hash
	block cipher.Block // seals
	rows  cipher.Block // makes ids of rows
	buf   []byte
	sum   [sha256.Size]byte
	// of the key stream of seal
	at, stream [aes.BlockSize]byte
}

func newHasher(key []byte) hasher {
	return hasher{mac: hmac.New(sha256.New, key), block: cipherOf(key, "what ids stand for"), rows: cipherOf(key, "ids of rows")}
}

// cipherOf derives a key for one use.
func cipherOf(key []byte, use string) cipher.Block {
	k := sha256.Sum256(append([]byte("history of brazecdc: "+use+"\x00"), key...))
	block, err := aes.NewCipher(k[:])
	if err != nil {
		panic("history: a key of 32 bytes is one of AES") // not about data
	}
	return block
}

func (h *hasher) of(b []byte) (out id) {
	h.mac.Reset()
	_, _ = h.mac.Write(b) // a hash takes everything
	copy(out[:], h.mac.Sum(h.sum[:0]))
	return out
}

// user gives a user's id. Kind and label change its second half, so that the reference is the hash of the identifier alone.
func (h *hasher) user(u *connector.User) id {
	h.buf = append(h.buf[:0], u.ID...)
	out := h.of(h.buf)
	if u.Kind != connector.ExternalID {
		f := fnv.New64a()
		_, _ = f.Write(append([]byte{byte(u.Kind)}, u.Label...))
		mix := f.Sum(nil)
		for i := refSize; i < hashSize; i++ {
			out[i] ^= mix[i-refSize]
		}
	}
	return out
}

// row gives a row's id, by CBC-MAC over the length and the text: nobody compares it with anything outside, and it costs a tenth.
func (h *hasher) row(k *connector.Key) (out id) {
	h.buf = binary.LittleEndian.AppendUint64(h.buf[:0], uint64(len(k.ID)))
	h.buf = binary.LittleEndian.AppendUint64(h.buf, uint64(len(k.Table)))
	h.buf = append(append(h.buf, k.Table...), k.ID...)
	for len(h.buf)%aes.BlockSize != 0 {
		h.buf = append(h.buf, 0)
	}
	mac := h.sum[:aes.BlockSize]
	clear(mac)
	for b := h.buf; len(b) > 0; b = b[aes.BlockSize:] {
		subtle.XORBytes(mac, mac, b[:aes.BlockSize])
		h.rows.Encrypt(mac, mac)
	}
	copy(out[:], mac)
	return out
}

// seal turns what an id stands for into bytes that say nothing without the key, and back. The id is the start of the key stream, so the same gives the same.
func (h *hasher) seal(of id, b []byte) {
	for n := uint32(0); len(b) > 0; n++ {
		h.at = [aes.BlockSize]byte{}
		copy(h.at[:], of[:])
		binary.BigEndian.PutUint32(h.at[hashSize:], n)
		h.block.Encrypt(h.stream[:], h.at[:])
		b = b[subtle.XORBytes(b, b, h.stream[:]):]
	}
}

// Ref is how a user is called in the log and in addresses of pages: "h:3f2a91c0d4e5", longer where the user is named by something else than an external_id.
func (s *Store) Ref(u connector.User) string { return Ref(s.cfg.Key, u) }

// Ref is Store.Ref for those who have no history.
func Ref(key []byte, u connector.User) string {
	h := newHasher(key)
	of := h.user(&u)
	if u.Kind == connector.ExternalID {
		return "h:" + hex.EncodeToString(of[:refSize])
	}
	return "h:" + hex.EncodeToString(of[:])
}

// parseRef gives the part of an id that a reference holds, nil for what is none.
func parseRef(ref string) []byte {
	b, err := hex.DecodeString(strings.TrimPrefix(ref, "h:"))
	if err != nil || len(b) < refSize || len(b) > hashSize {
		return nil
	}
	return b
}
