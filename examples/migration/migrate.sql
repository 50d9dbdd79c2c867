-- Prices were text; they become whole cents.
BEGIN;
ALTER TABLE orders ADD COLUMN cents integer;
UPDATE orders SET cents = round(price::numeric * 100);
ALTER TABLE orders ALTER COLUMN cents SET NOT NULL;
ALTER TABLE orders DROP COLUMN price;
COMMIT;
