// Package web is the pages of brazecdc: server-rendered HTML through which people configure, watch and repair a connector.
//
// It knows nothing of databases or Braze: what a page shows and does beyond the configuration comes through the interfaces that each page's file declares
// and that Config carries. A field of Config that is nil makes its page say that it is not available.
//
//	What is there, who may see it?     routes.go (the one table), <family>.go (a family's own part of it)
//	How does a request travel?         server.go (guards, session, role, token, handler, error page), request.go (what a handler has at hand)
//	What does a page look like?        templates/layout.html and templates/<family>*.html, render.go (helpers of the templates)
//	Where do the words come from?      lang/<language>/<family>.yaml, words.go, format.go (numbers, dates, times)
//	And of what the connector says?    lang/<language>/said/*.yaml beside the code's own English sentence, said.go (how it is found), fix.go (SQL to copy)
//	Who is told without looking?       live_alert.go (which states, once each), settings_alerts.go; the program sends
//	Style sheets and modules?          assets/css, assets/js, assets.go
//
// A template file defines "content"; a file whose name ends in _parts.html defines named parts that every page can use and that request.partial renders.
package web
