create table notes (text text);
