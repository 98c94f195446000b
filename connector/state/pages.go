package state

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// bbolt has no checksums on its pages and follows their lengths and numbers wherever they lead in memory. checkPages therefore goes through the pages of
// a file before bbolt does, and finds those whose content cannot be. The layout is that of bbolt's version 2 files, in the machine's byte order.
const (
	pageHead     = 16 // number 8, flags 2, count 2, overflow 4
	branchHead   = 16 // position 4, key length 4, page 8
	leafHead     = 16 // flags 4, position 4, key length 4, value length 4
	bucketHeader = 16 // root page 8, sequence 8
	metaLength   = 64
	metaMagic    = 0xED0CDAED

	branchPage   = 0x01
	leafPage     = 0x02
	freelistPage = 0x10
)

// checkedBytes is up to which size a file is gone through when it is opened; larger ones would make the start slow.
const checkedBytes = 256 << 20

type pageReader struct {
	file             io.ReaderAt
	size             int64
	pageSize         int64
	root, free, high uint64 // from the head that counts: the tree, the list of free pages, the first page never used
	txid             uint64
	seen             map[uint64]bool
}

var order = binary.NativeEndian

// checkPages gives a DamageError for pages that bbolt must not see. A file without a usable head is left for bbolt to refuse.
func checkPages(file io.ReaderAt, size int64) error {
	p := &pageReader{file: file, size: size, seen: map[uint64]bool{}}
	if size > checkedBytes || !p.head() {
		return nil
	}
	// bbolt marks that there is no list of free pages by the largest number.
	if p.free != ^uint64(0) {
		b, err := p.page(p.free)
		if err != nil {
			return err
		}
		if err = p.freelist(b); err != nil {
			return err
		}
	}
	return p.tree(p.root)
}

// head finds the newer one of the two heads that are whole.
func (p *pageReader) head() bool {
	p.meta(0)
	if p.pageSize != 0 {
		p.meta(p.pageSize)
		return true
	}
	for at := int64(1024); at <= 1024<<14 && p.pageSize == 0; at <<= 1 {
		p.meta(at)
	}
	return p.pageSize != 0
}

func (p *pageReader) meta(at int64) {
	b := make([]byte, metaLength)
	if _, err := p.file.ReadAt(b, at+pageHead); err != nil {
		return
	}
	sum := fnv.New64a()
	_, _ = sum.Write(b[:metaLength-8]) // a hash takes everything
	if order.Uint32(b) != metaMagic || order.Uint32(b[4:]) != 2 || order.Uint64(b[56:]) != sum.Sum64() {
		return
	}
	if txid := order.Uint64(b[48:]); p.pageSize == 0 || txid > p.txid {
		p.pageSize, p.root, p.free, p.high, p.txid = int64(order.Uint32(b[8:])), order.Uint64(b[16:]), order.Uint64(b[32:]), order.Uint64(b[40:]), txid
	}
}

func pageDamage(id uint64, what string) error {
	return &DamageError{What: fmt.Sprintf("page %d %s", id, what)}
}

// page reads a page with those it flows over to.
func (p *pageReader) page(id uint64) ([]byte, error) {
	if id < 2 || id >= p.high || int64(id) >= p.size/p.pageSize {
		return nil, pageDamage(id, "is outside of the file")
	}
	head := make([]byte, pageHead)
	if _, err := p.file.ReadAt(head, int64(id)*p.pageSize); err != nil {
		return nil, err
	}
	pages := 1 + uint64(order.Uint32(head[12:]))
	switch {
	case order.Uint64(head) != id:
		return nil, pageDamage(id, "has the number of another")
	case id+pages > p.high || int64(id+pages) > (p.size+p.pageSize-1)/p.pageSize:
		return nil, pageDamage(id, "reaches beyond the file")
	case p.seen[id]:
		return nil, pageDamage(id, "is used twice")
	}
	p.seen[id] = true
	b := make([]byte, min(int64(pages)*p.pageSize, p.size-int64(id)*p.pageSize))
	if _, err := p.file.ReadAt(b, int64(id)*p.pageSize); err != nil {
		return nil, err
	}
	return b, nil
}

func (p *pageReader) freelist(b []byte) error {
	count, at := uint64(order.Uint16(b[10:])), uint64(pageHead)
	if count == 0xFFFF && len(b) >= pageHead+8 {
		count, at = order.Uint64(b[pageHead:]), pageHead+8
	}
	if order.Uint16(b[8:]) != freelistPage || count > (uint64(len(b))-at)/8 {
		return pageDamage(p.free, "is no list of free pages")
	}
	for i := range count {
		if id := order.Uint64(b[at+8*i:]); id < 2 || id >= p.high {
			return pageDamage(p.free, "lists a page outside of the file")
		}
	}
	return nil
}

// tree goes through a page of a bucket and all below it.
func (p *pageReader) tree(id uint64) error {
	b, err := p.page(id)
	if err != nil {
		return err
	}
	return p.elements(id, b)
}

// elements checks that all keys and values of a page, or of a bucket that lies inside a value, are inside of it.
func (p *pageReader) elements(id uint64, b []byte) error {
	flags, count := order.Uint16(b[8:]), int(order.Uint16(b[10:]))
	if flags != branchPage && flags != leafPage || count > (len(b)-pageHead)/leafHead || flags == branchPage && count == 0 {
		return pageDamage(id, "is no page of a tree")
	}
	for i := range count {
		at := pageHead + i*leafHead
		e := b[at:]
		if flags == branchPage {
			if _, ok := part(b, at, order.Uint32(e), order.Uint32(e[4:])); !ok {
				return pageDamage(id, "has a key outside of it")
			}
			if err := p.tree(order.Uint64(e[8:])); err != nil {
				return err
			}
			continue
		}
		key, value := order.Uint32(e[8:]), order.Uint32(e[12:])
		v, ok := part(b, at, order.Uint32(e[4:]), key, value)
		if !ok {
			return pageDamage(id, "has a value outside of it")
		}
		if order.Uint32(e)&1 != 0 {
			if err := p.bucket(id, v[key:]); err != nil {
				return err
			}
		}
	}
	return nil
}

// bucket goes through a bucket: its root is a page of its own, or follows right behind its header.
func (p *pageReader) bucket(id uint64, v []byte) error {
	if len(v) < bucketHeader {
		return pageDamage(id, "has a bucket that is cut off")
	}
	if root := order.Uint64(v); root != 0 {
		return p.tree(root)
	}
	if len(v) < bucketHeader+pageHead || order.Uint16(v[bucketHeader+8:]) != leafPage {
		return pageDamage(id, "has a bucket that is cut off")
	}
	return p.elements(id, v[bucketHeader:])
}

// part gives what begins pos bytes behind at and has these lengths together, if all of it is inside b.
func part(b []byte, at int, pos uint32, lengths ...uint32) ([]byte, bool) {
	start := uint64(at) + uint64(pos)
	end := start
	for _, n := range lengths {
		end += uint64(n)
	}
	if end > uint64(len(b)) || pos < leafHead {
		return nil, false
	}
	return b[start:end], true
}
