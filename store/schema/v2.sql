-- Schema 2. Released: never edited, only followed by another file.
--
-- Rollups are written when their minute is over, not with every batch. They have every gap, and every share up to the
-- marker; what lies behind it is added up from the shares themselves.
ALTER TABLE meta ADD COLUMN rollups_through INTEGER NOT NULL DEFAULT 0; -- greatest share key that the rollups have
UPDATE meta SET rollups_through = max(share_key, ifnull((SELECT max(id) FROM shares), 0));
