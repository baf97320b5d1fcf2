-- The demo application's table. Run by the database's owner; safe to run again.
-- The application's own role needs SELECT and INSERT on it.

CREATE TABLE IF NOT EXISTS visits (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client inet, -- null: the server did not tell the visitor's address
    at timestamptz NOT NULL DEFAULT now()
);

-- For count(DISTINCT client), which then reads the index, already sorted, and not the table.
CREATE INDEX IF NOT EXISTS visits_client ON visits (client);
