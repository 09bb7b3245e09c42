-- Pieces of a machine's state as of a row, a cache of the journal's rows in a file of its own. The place follows from the name, so that one look finds a cell by
-- its name; the rare two of one place stand side by side. What has no name stands below zero.
CREATE TABLE cell (
    place INTEGER PRIMARY KEY,
    id    INTEGER NOT NULL,
    seq   INTEGER NOT NULL,
    name  BLOB,
    data  BLOB    NOT NULL
);
CREATE UNIQUE INDEX cell_id ON cell (id);

-- Every cell holds every row up to the watermark, and none holds a row above the last.
CREATE TABLE mark (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    watermark INTEGER NOT NULL,
    last      INTEGER NOT NULL
);
INSERT INTO mark (id, watermark, last) VALUES (1, 0, 0);
