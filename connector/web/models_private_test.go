package web

import (
	"net/http"
	"net/url"
	"slices"
	"testing"

	"brazecdc/connector/draft"
)

func TestPreviewMasksWhatLooksPrivate(t *testing.T) {
	f := &fakeModels{preview: &ModelPreview{
		Found: true, Key: "7", Columns: []PreviewCell{{Column: "iban", Hidden: true}}, Private: []string{"bank"},
		Fields: []PreviewField{{Name: "bank", State: FieldSent, Value: `"DE89"`}, {Name: "plan", State: FieldSent, Value: `"pro"`}},
		Calls:  []PreviewCall{{Method: "POST", Path: "/users/track", Body: `{"attributes":[{"plan":"pro","bank":"DE89"}]}`, Pretty: "DE89", Points: 1, Curl: "curl DE89"}},
	}}
	s, store, _ := modelsSite(t, modelsFile, f)
	for _, tab := range []string{"fields", "preview"} {
		page := s.get("/models/customers?tab=" + tab)
		page.wants(t, http.StatusOK, "pro", hiddenValue)
		page.lacks(t, "DE89")
	}
	s.get("/models/customers?tab=preview").wants(t, http.StatusOK, "name looks private")
	s.post("/models/customers/preview", url.Values{"row": {"key"}, "key": {"7"}, "private": {"yes"}}).wants(t, http.StatusOK, "DE89", "curl DE89")
	list, _, err := store.Activity(draft.Filter{})
	if err != nil || !slices.ContainsFunc(list, func(a draft.Activity) bool { return a.What.Key == "models.preview.revealed.noted" }) {
		t.Errorf("that is not written down: %v %v", list, err)
	}
}
