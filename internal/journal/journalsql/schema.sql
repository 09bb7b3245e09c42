-- One row per decided event. Numbers are 64-bit, money is in minor units, instants are microseconds since 1970 UTC.
-- A text or blob that is empty is NULL, so that the unique index only holds keys that exist.
CREATE TABLE journal (
    seq           INTEGER PRIMARY KEY,
    kind          INTEGER NOT NULL,
    at            INTEGER NOT NULL,
    business_date INTEGER NOT NULL,
    content       BLOB    NOT NULL,
    stan          INTEGER NOT NULL,
    card          INTEGER NOT NULL,
    atc           INTEGER NOT NULL,
    reason        INTEGER NOT NULL,
    debit         INTEGER NOT NULL,
    credit        INTEGER NOT NULL,
    amount        INTEGER NOT NULL,
    currency      INTEGER NOT NULL,
    phase         INTEGER NOT NULL,
    resolves      INTEGER NOT NULL,
    linked        INTEGER NOT NULL,
    chain         BLOB    NOT NULL,
    key           TEXT,
    payment       TEXT,
    rrn           TEXT,
    terminal      TEXT,
    answer        BLOB,
    note          BLOB
);

-- Keys are ordered by time: new ones land on the last page of the index, which is what keeps an insert cheap.
CREATE UNIQUE INDEX journal_key ON journal (key) WHERE key IS NOT NULL;

-- The one writer. Every commit reads this row in its own transaction.
CREATE TABLE fence (
    id    INTEGER PRIMARY KEY CHECK (id = 1),
    epoch INTEGER NOT NULL,
    owner TEXT    NOT NULL
);
INSERT INTO fence (id, epoch, owner) VALUES (1, 0, '');

-- Both legs of every row that moves money.
CREATE VIEW entry AS
    SELECT seq, at, business_date, phase, resolves, debit AS account, currency, amount AS debit_amount, 0 AS credit_amount
      FROM journal WHERE debit <> 0
    UNION ALL
    SELECT seq, at, business_date, phase, resolves, credit, currency, 0, amount
      FROM journal WHERE credit <> 0;
