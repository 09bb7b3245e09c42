-- From version 1: see schema.sql for what the tables are for.
CREATE TABLE cell (
    shard BIGINT NOT NULL,
    id    BIGINT NOT NULL,
    name  BYTEA,
    seq   BIGINT NOT NULL,
    data  BYTEA  NOT NULL,
    PRIMARY KEY (shard, id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX cell_name ON cell (shard, name) WHERE name IS NOT NULL;
CREATE TABLE watermark (
    shard BIGINT NOT NULL PRIMARY KEY,
    seq   BIGINT NOT NULL
);
DROP INDEX journal_key;
CREATE UNIQUE INDEX journal_key ON journal (shard, key) WHERE key IS NOT NULL;
CREATE INDEX journal_resolves ON journal (shard, resolves) WHERE resolves <> 0;
-- The journals by name: which shard is whose.
CREATE TABLE place (
    name  TEXT   NOT NULL PRIMARY KEY,
    shard BIGINT NOT NULL UNIQUE
);

-- What the nodes know about the members of the network, for whoever checks their journals.
CREATE TABLE world (
    id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL,
    text    BYTEA  NOT NULL
);

-- Which node should write which journal, and who lives: see lease.go.
CREATE TABLE lease (
    name   TEXT   NOT NULL PRIMARY KEY,
    holder TEXT   NOT NULL,
    beat   BIGINT NOT NULL
);
CREATE TABLE node (
    name TEXT   NOT NULL PRIMARY KEY,
    beat BIGINT NOT NULL
);
UPDATE journal_schema SET version = 2;
