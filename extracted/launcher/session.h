/* SPDX-License-Identifier: GPL-2.0 */
#ifndef SESSION_H
#define SESSION_H

#include "agent.h"
#include "launcher.h"

struct buffer {
	uint8_t *data;
	size_t n, room;
};

void buffer_add(struct buffer *b, const void *p, size_t n);
void buffer_drop(struct buffer *b, size_t n);

void port_add(struct guest *g);
int port_connect(const char *name);
void port_send(int session, int type, int stream, const void *body, size_t n);

take_message session_take;
void session_begin(void);
/* what main calls of a session */
void session_arguments(int *argc, char **argv);
void session_plan(struct guest *g, struct options *opt);
int session_end(void);
int session_console(char **argv);
void terminal_raw(void);

#endif
