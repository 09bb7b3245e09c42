package main

import "testing"

func TestNetwork(t *testing.T) { scripts(t, "network") }
