-- An organisation's part of what is scarce (memory of the streams, the workers' pace), against the others'.
ALTER TABLE organisation ADD COLUMN IF NOT EXISTS weight integer NOT NULL DEFAULT 1 CHECK (weight BETWEEN 1 AND 1000);
