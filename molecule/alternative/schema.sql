CREATE TABLE IF NOT EXISTS kept (text text);
