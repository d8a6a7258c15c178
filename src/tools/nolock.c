/*
 * nolock.c
 *	  Message catalogues that are never there, for LD_PRELOAD.
 *
 * Beside AddressSanitizer's library, Debian 12's server hangs at its start in
 * bindtextdomain(): it finds glibc's lock of the catalogues taken.
 */
char	   *bindtextdomain(const char *domain, const char *folder);
char	   *textdomain(const char *domain);
char	   *bind_textdomain_codeset(const char *domain, const char *codeset);

char *
bindtextdomain(const char *domain, const char *folder)
{
	(void) domain;
	return (char *) folder;
}

char *
textdomain(const char *domain)
{
	return (char *) domain;
}

char *
bind_textdomain_codeset(const char *domain, const char *codeset)
{
	(void) domain;
	return (char *) codeset;
}
