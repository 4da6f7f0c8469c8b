-- What libxml2 read of a labeling config, for a process that answers one request and
-- need not open libxml2 then (lib/studio/config_elements.h).
ALTER TABLE project ADD COLUMN config_elements TEXT; -- elements of label_config as libxml2 read them, JSON; NULL: not read yet
