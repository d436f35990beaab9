-- Who made a version of a normalization pipeline, and when.
ALTER TABLE normalization_pipeline ADD COLUMN IF NOT EXISTS changed_by text NOT NULL DEFAULT '';
ALTER TABLE normalization_pipeline ADD COLUMN IF NOT EXISTS changed_at timestamptz NOT NULL DEFAULT now();
