-- What the old version left behind.
CREATE TABLE orders (id integer PRIMARY KEY, item text NOT NULL, price text NOT NULL);
INSERT INTO orders VALUES (1, 'tea', '2.50'), (2, 'cake', '3.95'), (3, 'tea', '2.50');
