B
end_logitsJÔç¨>3{‘?ä·?Üüd¾Ÿ-u¿h÷¾Ò ¿