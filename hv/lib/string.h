/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory and string functions. On the host these names come from the C library; in the hypervisor
 * hv/lib/string.c supplies them with the standard meaning.
 */
#ifndef HV_LIB_STRING_H
#define HV_LIB_STRING_H

#ifdef HOST_BUILD
#include <string.h>
#else
#include "hv/lib/types.h"

void *memcpy(void *dst, const void *src, size_t n);
void *memmove(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);
char *strchr(const char *s, int c);
#endif

#endif
