package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// Machine says what the figures were measured on.
type Machine struct {
	Cores      int    `json:"cores"`
	CPU        string `json:"cpu"`
	OS         string `json:"os"`
	Go         string `json:"go"`
	FileSystem string `json:"file_system"`
	Memory     bool   `json:"memory_file_system"`
	Load       string `json:"load"` // load averages of 1, 5 and 15 minutes when asked
}

// MachineOf describes this machine and the file system of a directory.
func MachineOf(dir string) (Machine, error) {
	if dir == "" {
		dir = "."
	}
	fs, memory, err := fileSystem(dir)
	if err != nil {
		return Machine{}, fmt.Errorf("bench: look at the file system: %w", err)
	}
	return Machine{
		Cores: runtime.NumCPU(), CPU: processor(), OS: system(), Go: runtime.Version(), FileSystem: fs, Memory: memory, Load: load(),
	}, nil
}

// String is one line for people.
func (m Machine) String() string {
	return fmt.Sprintf("%d cores, %s, %s, %s, %s, load %s", m.Cores, m.CPU, m.OS, m.Go, m.FileSystem, m.Load)
}

const unknown = "unknown"

// The files of /proc exist on Linux only; elsewhere the answer is "unknown".
func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return unknown
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

func system() string {
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return runtime.GOOS + "/" + runtime.GOARCH
	}
	return runtime.GOOS + "/" + runtime.GOARCH + " " + strings.TrimSpace(string(release))
}

func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return unknown
	}
	fields := strings.Fields(string(text))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

// fileSystem names the file system of a directory and says whether it lives in memory.
func fileSystem(dir string) (name string, memory bool, err error) {
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", false, err
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return "", false, err
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return unknown, false, nil // not Linux
	}
	longest := -1
	for line := range strings.Lines(string(mounts)) {
		fields := strings.Fields(line) // device, mount point, type …
		if len(fields) < 3 || len(fields[1]) < longest || !within(path, fields[1]) {
			continue
		}
		longest, name = len(fields[1]), fields[2] // a later line of the same place hides an earlier one
	}
	if name == "" {
		name = unknown
	}
	return name, name == "tmpfs" || name == "ramfs", nil
}

func within(path, mount string) bool {
	return mount == "/" || path == mount || strings.HasPrefix(path, mount+"/")
}
