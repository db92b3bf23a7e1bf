
BlogitsJ(ƒpk?Wbâ>H@yµ=‘…¿ÍT¿
x¿þEP¿¢¹¿*TÙ¾