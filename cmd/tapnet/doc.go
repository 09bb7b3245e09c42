// Command tapnet runs, shows and explains a contactless payment network.
//
// It parses flags, calls the packages that know, and prints what they say in English or Chinese, as text or as one JSON
// object. Answers go to standard output, errors and progress to standard error; the exit code says which of the four
// kinds of end it was (exit.go). It never prints a PIN, a PIN block or a key; card numbers are masked unless --reveal.
package main
