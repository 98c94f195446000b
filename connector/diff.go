package connector

// diff decides what of a waiting step is sent, when it leaves its queue and no request of its user is open. It is pure: proven tells whether a
// before-image may be trusted for a field at this moment. dst is reused for
// the fields that remain. send is false where nothing has to be sent at all.
func diff(dst []Field, s *step, proven func(*Field) bool) (fields []Field, send bool) {
	fields = dst[:0]
	for i := range s.fields {
		f := &s.fields[i]
		if f.Omit && !s.nulls {
			continue
		}
		if f.Proof == Unchanged && !s.noProof && proven(f) {
			continue
		}
		fields = append(fields, *f)
	}
	return fields, len(fields) > 0 || s.creates && !s.updateOnly
}
