package web

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"brazecdc/connector"
)

// groupText says, where several processes share the work, which of them the figures are of and which partitions it has: "2 of 3, partitions 4–7".
func (r *request) groupText(v *view) string {
	if !v.running() || v.status.Source.Members < 2 {
		return ""
	}
	of := map[string][]int{}
	for _, s := range v.status.Streams {
		name := connector.PartOf(s.Stream)
		at := strings.LastIndexByte(name, '/')
		if at < 1 {
			continue
		}
		topic := name[:at]
		if n, err := strconv.Atoi(name[at+1:]); err == nil && !slices.Contains(of[topic], n) {
			of[topic] = append(of[topic], n)
		}
	}
	var parts []string
	for _, topic := range slices.Sorted(maps.Keys(of)) {
		slices.Sort(of[topic])
		parts = append(parts, r.t("live.group.topic", len(of[topic]), topic, ranges(of[topic])))
	}
	if len(parts) == 0 {
		parts = []string{r.t("live.group.none")}
	}
	return r.t("live.group", v.status.Source.Member, v.status.Source.Members, strings.Join(parts, "; "))
}

// ranges writes sorted numbers in short: "0–2, 5".
func ranges(list []int) string {
	var out []string
	for i := 0; i < len(list); {
		j := i
		for j+1 < len(list) && list[j+1] == list[j]+1 {
			j++
		}
		text := strconv.Itoa(list[i])
		if j > i {
			text += "–" + strconv.Itoa(list[j])
		}
		out = append(out, text)
		i = j + 1
	}
	return strings.Join(out, ", ")
}
