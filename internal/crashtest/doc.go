// Package crashtest shows that a payment that was answered survives whatever ends the process: it kills the tapnet binary, traces its system calls and
// cuts the power of a simulated disk.
//
// It follows no standard. What it tests is the binary alone: processes, sockets, data directories and `tapnet verify`; of the module's own code it uses
// what a member of the network has, the link, the messages and the keys. Its load generator keeps its own record of every answer it got. At the end
// every acknowledged approval is in the journal exactly once, every other request is absent, declined or reversed, a repeated request gets the bytes of its
// first answer (without MAC), what is held equals what the generator was told, and verify has no finding.
//
//   - TestKill kills a bank under authorization load at random moments, starting included; TestKillNetwork does so with a whole network and its tills.
//     TAPNET_KILLS and TAPNET_NETWORK_KILLS say how often, TAPNET_SEED repeats a run; scripts/kill is the long one.
//   - TestStrace (build tag thirdparty, needs strace) records the system calls of a bank under load. Order reads from them that no answer left before the
//     rows it rests on were written and synced. PowerCut replays them onto a simulated disk, on which only what was synced is certain and each sector of the
//     rest has any of its versions, cuts the power at random moments (TAPNET_POWER_CUTS), and opens what is left.
//   - TestStraceFaults (the same) has syncs and writes fail, or kill, under load: the bank must end, and the next one have all that was answered.
//
// kill -9 alone proves no sync: the kernel keeps what a killed process wrote. The traces do. None of them shows that a disk keeps what it says it has
// synced. There is nothing to import here.
package crashtest
