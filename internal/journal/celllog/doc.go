// Package celllog keeps journal cells in a log of segments, with an index in memory (docs/adr/0012-cell-log.md).
//
// It follows no standard. It is a cache of a journal's rows: a commit is one write and no sync, and what a power cut takes away is replayed. It promises that
// a log is always the state after some commit, complete or not at all; that a look-up is one read, checked, beside the writer; that no commit waits for
// work that grows with the log. It does not know what cells mean, and does not keep two processes from writing at the same time.
//
// # What is written
//
// A commit appends its cells and a mark, which says how far they are (the watermark, the last row). What stands in a segment stands there for ever: a cell
// that changes is written again, and the record that comes later in the log is the cell's. When more than half of the log is garbage, the keeper writes what
// is alive of a segment again at the end and removes the segment.
//
// # Why a log is always whole
//
// Opening reads segments in order of number and records in order, and believes everything up to the last whole mark before the first thing that is not as
// it was written. So the state is that after an earlier commit, if no segment before that mark is missing, and none is there that does not belong.
//
//   - A segment's name is synced before anything but its header is written to it, and the one before ends with a mark that says so. A segment that has lost its
//     end has lost that mark, and those behind it are not believed.
//   - A segment is removed when a sync has covered everything up to the copies of its cells, then a mark that says so, then that mark. No power cut afterwards
//     leaves a log that ends before the copies. If its name comes back, nothing in it is later than what is behind it: it changes nothing.
//   - What is not believed is cut off, and the cut is synced, before the next writer writes. So nothing of it comes back behind what is written then.
//   - A mark holds a sum over the records before it, and its own place: no old sector and no second writer makes one out of pieces.
//
// Damage is something else: behind the place where belief ends there is a mark which says that the disk held more. Cells of earlier segments may have been
// moved behind that place, so what is before it is no state, and the log is refused (DamageError).
package celllog
