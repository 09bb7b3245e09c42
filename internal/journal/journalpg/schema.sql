-- Several journals share these tables, one per shard. Numbers are 64-bit, money is in minor units, instants are
-- microseconds since 1970 UTC. Texts are bytes: they come from wires and need not be valid in the encoding of the
-- database, and bytes compare the same under every collation. An empty text or blob is NULL.
CREATE TABLE journal (
    shard         BIGINT NOT NULL,
    seq           BIGINT NOT NULL,
    kind          BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    business_date BIGINT NOT NULL,
    stan          BIGINT NOT NULL,
    card          BIGINT NOT NULL,
    atc           BIGINT NOT NULL,
    reason        BIGINT NOT NULL,
    debit         BIGINT NOT NULL,
    credit        BIGINT NOT NULL,
    amount        BIGINT NOT NULL,
    currency      BIGINT NOT NULL,
    phase         BIGINT NOT NULL,
    resolves      BIGINT NOT NULL,
    linked        BIGINT NOT NULL,
    content       BYTEA  NOT NULL,
    chain         BYTEA  NOT NULL,
    key           BYTEA,
    payment       BYTEA,
    rrn           BYTEA,
    terminal      BYTEA,
    answer        BYTEA,
    note          BYTEA,
    PRIMARY KEY (shard, seq)
);

-- Keys are ordered by time: new ones land on the last page of their shard, which is what keeps an insert cheap. Rows
-- without a key are not in it: what asks for a number must find one index only, or a plan that was made while the table was
-- empty could take this one and walk the whole shard for ever after.
CREATE UNIQUE INDEX journal_key ON journal (shard, key) WHERE key IS NOT NULL;

-- The ends of holds, found by the hold.
CREATE INDEX journal_resolves ON journal (shard, resolves) WHERE resolves <> 0;

-- The one writer of each shard. Every commit locks this row, so a claim waits for the commit that is under way and
-- everything later is refused.
CREATE TABLE fence (
    shard BIGINT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    owner TEXT   NOT NULL
);

-- Pieces of the machines' states, caches of the rows. Room in each page lets an update stay in it, where no index has to follow.
CREATE TABLE cell (
    shard BIGINT NOT NULL,
    id    BIGINT NOT NULL,
    name  BYTEA,
    seq   BIGINT NOT NULL,
    data  BYTEA  NOT NULL,
    PRIMARY KEY (shard, id)
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX cell_name ON cell (shard, name) WHERE name IS NOT NULL;

-- Rows up to here are in the cells.
CREATE TABLE watermark (
    shard BIGINT NOT NULL PRIMARY KEY,
    seq   BIGINT NOT NULL
);

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

-- Both legs of every row that moves money.
CREATE VIEW entry AS
    SELECT shard, seq, at, business_date, phase, resolves, debit AS account, currency, amount AS debit_amount, 0 AS credit_amount
      FROM journal WHERE debit <> 0
    UNION ALL
    SELECT shard, seq, at, business_date, phase, resolves, credit, currency, 0, amount
      FROM journal WHERE credit <> 0;

-- The texts as a person reads them; unprintable bytes are escaped.
CREATE VIEW journal_text AS
    SELECT shard, seq, encode(key, 'escape') AS key, encode(payment, 'escape') AS payment, encode(rrn, 'escape') AS rrn,
           encode(terminal, 'escape') AS terminal
      FROM journal;

CREATE TABLE journal_schema (
    id      BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO journal_schema (id, version) VALUES (1, 2);
