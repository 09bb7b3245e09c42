-- Data ends with 80 and zeros from here on, so that it mostly keeps its length and is written over where it stands.
UPDATE cell SET data = CAST(data || x'80' AS BLOB);
