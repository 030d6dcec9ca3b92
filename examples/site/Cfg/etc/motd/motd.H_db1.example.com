db1.example.com: the company's database. Think before you type.
This machine is managed by Bcfg2: changes made by hand will be undone.
