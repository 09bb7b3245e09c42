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
-- without a key are NULL here and do not collide.
CREATE UNIQUE INDEX journal_key ON journal (shard, key);

-- The one writer of each shard. Every commit locks this row, so a claim waits for the commit that is under way and
-- everything later is refused.
CREATE TABLE fence (
    shard BIGINT NOT NULL PRIMARY KEY,
    epoch BIGINT NOT NULL,
    owner TEXT   NOT NULL
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
INSERT INTO journal_schema (id, version) VALUES (1, 1);
