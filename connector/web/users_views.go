package web

import (
	"context"
	"errors"
	"time"

	"brazecdc/connector"
)

// UsersViews is what the pages of the users ask. All methods may be called concurrently; they look at the source for at most a few seconds and never slow the
// stream.
type UsersViews interface {
	// Elsewhere is the address of the process whose pages can tell of users, where this one can't; empty where it can.
	Elsewhere(ctx context.Context) string
	// Ways tells by what users can be looked for.
	Ways(ctx context.Context) (*UserWays, error)
	// Find looks for a user.
	Find(ctx context.Context, ask UserAsk) (*UserFound, error)
	// User shows one user, with the part of its timeline that ends before a place of UserView.More.
	User(ctx context.Context, ref, before string) (*UserView, error)
	// Watch keeps all payloads of a user for an hour, or ends that.
	Watch(ctx context.Context, ref string, on bool) error
	// Compare asks Braze for the user and compares it with one of its rows, by its place in UserView.Rows.
	Compare(ctx context.Context, ref string, row int) (*UserCompared, error)
}

// ErrNoUser says that nobody knows what a reference stands for any more; ErrWatchFull that no other user can be watched.
var (
	ErrNoUser    = errors.New("nothing is known of this user here any more")
	ErrWatchFull = errors.New("no other user can be watched now")
)

// What a user can be looked for by.
const (
	ByExternalID = "external_id"
	ByRow        = "row"
	ByAlias      = "alias"
	ByEmail      = "email"
	ByPhone      = "phone"
)

// UserWays is by what users can be looked for, beside the external_id.
type UserWays struct {
	Models []UserModel
	Labels []string // of aliases
	Email  bool
	Phone  bool
}

// UserModel is a model whose rows can be named.
type UserModel struct {
	Name string
	Keys []string // columns of the key
}

// UserAsk is what somebody looks for.
type UserAsk struct {
	By, Value    string
	Model, Label string
}

// UserFound is who was found, or where was looked. A place is a key of the catalogue below users.where. with its argument.
type UserFound struct {
	Ref    string // empty: nobody
	Looked []UserPlace
}

// UserPlace is where was looked.
type UserPlace struct {
	Where string // history, accepted, queue, held, source
	Name  string // of the table and column
	Fault string // why it could not be looked at
}

// UserView is one user.
type UserView struct {
	Ref     string
	User    connector.User
	Since   time.Time // the oldest that anything is kept of anybody
	Kept    time.Duration
	Watched time.Time // until when, zero where not
	Topics  bool      // the source has no rows that can be looked at
	Rows    []UserRow
	Waiting connector.Waiting
	Held    []connector.Entry
	// Past is the timeline, newest first. More is where the next page begins, empty where there is none.
	Past []UserEvent
	More string
}

// UserRow is a living row of a user and what would be sent of it now.
type UserRow struct {
	Model, Table string
	Key          string // as a person writes it
	Gone         bool   // there is no such row any more
	Fault        string // why it could not be looked at, or would be held back
	Nothing      string // why nothing would be sent: filter, delete_when, mode, only_users, no user, no fields
	Why          string // the same in words; the page fills it in
	Other        bool   // the row is another user's now
	Fields       []UserField
	Left         []connector.FieldNote
	Groups       []UserField // states of subscription groups that a change of the row would send
}

// The ways in which what would be sent compares with what Braze accepted last.
const (
	FieldAgrees  = "same"
	FieldDiffers = "differs"
	FieldNever   = "never"
	FieldUnknown = "unknown"
)

// UserField is one field of a row.
type UserField struct {
	Name  string
	Value string // JSON
	Label string // of a subscription group: a name of one's own
	State string // FieldAgrees and its like
}

// UserEvent is one entry of a timeline.
type UserEvent struct {
	At, First time.Time
	Gap       bool
	Counted   bool
	Count     uint64

	Outcome    string
	Reason     string
	Kind       connector.Kind
	To         string // a rename's new name
	UpdateOnly bool
	Load       bool
	Event      string
	Purchase   bool
	Changes    int
	Tries      int
	Queued     time.Time
	Waited     []string
	Call       *connector.Called
	Method     string
	Path       string
	Rows       []UserChange
	Sent       []string
	Same       []string
	Empty      []string
	Left       []connector.FieldNote
	Payload    string // JSON; empty: not kept
	HadPayload bool
}

// UserChange is one row behind an entry.
type UserChange struct {
	Model, Table, Key string
	Op                string // empty: it was sent on request, or read again
	Position          string
	Committed         time.Time
	Columns           []string
	Known             bool
	Confirmed         string // yes, no, or empty where nobody knows
}

// UserCompared is what Braze holds of a user beside what a row says.
type UserCompared struct {
	Row     UserRow
	Missing bool // Braze does not know the user
	Fields  []UserDiff
	Left    []string // fields that can't be compared
}

// UserDiff is one field here and in Braze.
type UserDiff struct {
	Name         string
	Source, Held string // JSON; empty: none
	Equal        bool
}
