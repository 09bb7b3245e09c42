package crashtest

import "syscall"

// attributes let a process die with the test that started it.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
