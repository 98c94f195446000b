package main

const manual = `brazesim is a strict stand-in for Braze's REST API, for tests, demos and dry runs. It keeps everything in memory.

Usage:
  brazesim --api-key KEY [flags]

Where and who:
  --listen ADDRESS        where to listen; port 0 takes a free one, which is printed (default 127.0.0.1:8090)
  --api-key KEY           the key that clients must send as "Authorization: Bearer KEY"
                          (default $BRAZESIM_API_KEY; required)

When requests take effect:
  --apply-delay DURATION  each request is applied at a random moment up to this long after its answer, so that two requests
                          of one user may swap (default 0s: before the answer)
  --delete-delay DURATION the same for /users/delete; Braze names up to 5m (default: the apply delay)
  --seed N                makes the delays repeatable (default 0: random)

Limits:
  --objects N             objects per /users/track call: 50 or 75 in all, or 225 for 75 in each array (default 75)
  --max-body BYTES        above it the answer is 413 (default 4194304)
  --rate-style STYLE      how answers tell the rate limit (default epoch); Braze's documented limits hold, with all but none:
                            epoch      X-RateLimit-Limit, -Remaining, and -Reset in epoch seconds
                            seconds    the same, with the seconds left in -Reset
                            mau        as seconds, but a 429 carries X-Ratelimit-Retry-After instead
                            http-date  as epoch, but a 429 also carries Retry-After as an HTTP date
                            none       no headers, no limits
  --rate-limit N          requests per window for /users/track (default 0: 3000, as documented)
  --rate-window DURATION  that window (default 3s)

What the workspace has from the start:
  --catalog NAME:FIELD=TYPE,FIELD=TYPE
                          a catalog without items; may be given several times. Types: string, number, boolean, time, object, array, geo;
                          the field id comes by itself. POST /catalogs makes others later

Readings of open points in Braze's documentation:
  --all-invalid-400       answer 400 instead of 201 when every object of a call is refused
  --error-constants       item errors carry EMAIL_BAD_FORMAT and the like instead of sentences
  --strict-times          an attribute that began as a time takes no other strings
  --require-export-fields /users/export/ids needs fields_to_export

Other:
  --grace DURATION        how long open requests may take to end after SIGTERM or Ctrl-C (default 5s)
  --version               print the version and exit
  --help                  print this text

Served as Braze does:
  POST /users/track, /users/delete, /users/external_ids/rename, /users/external_ids/remove, /users/export/ids,
       /users/alias/new, /users/identify (by alias), /subscription/status/set, /v2/subscription/status/set,
       /catalogs
  PUT, DELETE /catalogs/{name}/items
  GET  /catalogs, /custom_attributes

Control, without a key:
  GET  /_sim/users/{external_id}  the profile that the id reaches, with events and subscription states; 404 if there is none
  GET  /_sim/users                all profiles
  GET  /_sim/events               events and purchases of all users, in the order of their effect
  GET  /_sim/groups               who is in which state of which subscription group, addresses without a profile among them
  GET  /_sim/catalogs             catalogs with fields and items
  GET  /_sim/ignored              the newest 1,000 values that were dropped without a word: user, attribute, reason
  GET  /_sim/stats                requests, objects, data points, overlaps, values ignored silently; in all and per endpoint
  GET  /_sim/violations           users that were in two open requests at once, or whose requests were applied out of order
  GET  /_sim/requests?limit=N     the newest N requests with bodies and answers, newest last (default 100)
  GET  /_sim/quiet?timeout=30s    answers when no request is open and all effects are applied; 504 after the timeout
  GET  /_sim/livez                answers 200, for health checks
  POST /_sim/reset                forget everything
  POST /_sim/faults               make the next calls fail; one object or an array of them:
         {"endpoint": "/users/track",        "" or absent: every endpoint; "PUT /catalogs/{catalog}/items" with or without the method,
                                             and with a catalog's name or {catalog} for any
          "count": 3,                        0 or absent: until a reset or {"clear": true}
          "status": 503, "headers": {"Retry-After": "2"}, "body": "text or JSON",
          "effect": true,                    the request takes effect although the status says otherwise
          "delay": "2s",                     hold the request open first
          "cut": "before" or "after",        close the connection, without or with effect
          "items": [{"external_ids": ["u1"], "type": "text"}],   refuse objects inside a 201
          "external_ids": ["u1"]}            only calls that name one of these users
       {"clear": true} removes all faults, with "endpoint" those of one endpoint.

Exit codes: 0 stopped by a signal, 1 cannot listen, 2 wrong flags.
`
