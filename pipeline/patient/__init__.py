"""One patient's files, checked and brought into one world; where brain and lesion are."""
