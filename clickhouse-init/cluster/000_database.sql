-- The variant for a cluster: apply these files instead of those beside this folder. The macros
-- {cluster}, {shard} and {replica} are the servers' own (system.macros).
CREATE DATABASE IF NOT EXISTS millrace ON CLUSTER '{cluster}';
