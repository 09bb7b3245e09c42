package vpcd

import (
	"io"
	"net"
	"syscall"
)

// prompt acknowledges at once what it reads. The driver writes length and body of a message separately; without this the kernel waits
// some 40 ms before it acknowledges the length, and the driver's kernel as long before it sends the body. The option does not last, so
// it is set before each read.
func prompt(conn net.Conn) io.Reader {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return conn
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return conn
	}
	return &prompter{conn, raw}
}

type prompter struct {
	net.Conn
	raw syscall.RawConn
}

func (p *prompter) Read(b []byte) (int, error) {
	_ = p.raw.Control(func(fd uintptr) { // slower without it, not wrong
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
	return p.Conn.Read(b)
}
