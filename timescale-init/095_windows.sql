-- Groups of rules about silence wait for the clock: since when, and what is raised when it finds
-- them silent, for there is no event then to make an alert of. Null for all other windows.
ALTER TABLE rule_window ADD COLUMN IF NOT EXISTS due_at timestamptz;
ALTER TABLE rule_window ADD COLUMN IF NOT EXISTS alert jsonb;
CREATE INDEX IF NOT EXISTS rule_window_due ON rule_window (due_at) WHERE due_at IS NOT NULL;
