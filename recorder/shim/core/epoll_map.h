/* SPDX-License-Identifier: Apache-2.0 */
/* Which eventfd an epoll event's data stands for: only the driver that called epoll_ctl knows otherwise. */
#ifndef VFIOTAPE_EPOLL_MAP_H
#define VFIOTAPE_EPOLL_MAP_H

#include <stdbool.h>
#include <stdint.h>

/* An epoll is known by its object, which its duplicates share. */

/* After a successful EPOLL_CTL_ADD or MOD of an eventfd; false when the table is full. */
bool epoll_map_set(uint32_t epoll, int fd, uint64_t data);
/* After EPOLL_CTL_DEL. */
void epoll_map_remove(uint32_t epoll, int fd);
/* An eventfd's descriptor is closed. */
void epoll_map_forget(int fd);
/* The last descriptor of an epoll is closed. */
void epoll_map_forget_epoll(uint32_t epoll);
/* The eventfd, or -1 when the data is of something else. */
int epoll_map_find(uint32_t epoll, uint64_t data);
/* The eventfds that it holds, one after the other, from *at = 0 on; -1 when there is none left. */
int epoll_map_next(uint32_t epoll, uint32_t *at);

#endif
