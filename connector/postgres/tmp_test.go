package postgres
import ("testing";"time";"brazecdc/connector/postgres/throwaway")
func TestTmp(t *testing.T){
 t0:=time.Now()
 throwaway.Shared(t)
 t.Log("server", time.Since(t0)); t0=time.Now()
 d := newDB(t, usersSQL)
 t.Log("db", time.Since(t0)); t0=time.Now()
 r := start(t, d.config(), users())
 t.Log("start", time.Since(t0)); t0=time.Now()
 d.exec(`INSERT INTO users VALUES (1, 'u1', 'a@x.io', NULL, 'free', '{"a":1}')`)
 r.changes(1)
 t.Log("change", time.Since(t0)); t0=time.Now()
 r.close()
 t.Log("close", time.Since(t0)); t0=time.Now()
}
