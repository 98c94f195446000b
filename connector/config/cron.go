package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// cronFields are the fields of crontab(5): minute, hour, day of the month, month, weekday.
var cronFields = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow)

// Cron gives a function that tells the first time after a moment that an expression of five fields names, by the clock of a zone. It is zero where there is
// none within five years. A time that the zone's clock leaps over when summer begins does not come that day.
func Cron(text string, zone *time.Location) (next func(after time.Time) time.Time, err error) {
	if n := len(strings.Fields(text)); n != 5 {
		return nil, fmt.Errorf("it has %d fields", n)
	}
	if strings.Contains(text, "TZ=") {
		return nil, errors.New("the zone is a setting of its own, time_zone")
	}
	s, err := cronFields.Parse(text)
	if err != nil {
		return nil, err
	}
	if s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() { // 2024 has every day there is
		return nil, errors.New("no such day ever comes")
	}
	return func(after time.Time) time.Time { return s.Next(after.In(zone)).UTC() }, nil
}
