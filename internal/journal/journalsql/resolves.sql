-- Version 2: the row that ended a hold is found by the hold's number.
CREATE INDEX journal_resolves ON journal (resolves) WHERE resolves <> 0;
