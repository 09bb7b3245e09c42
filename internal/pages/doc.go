// Package pages gives memory for large tables that live long: outside of what the garbage collector counts, on huge pages where the operating system has them.
// A look into such a table misses the processor's caches; on huge pages it does not miss the table of pages besides, and Prefetch fetches what will be needed
// while there is other work to do.
//
// It follows no standard. What it gives holds no pointers. It does not bound how much is asked for: its callers do.
package pages
