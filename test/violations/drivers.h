// SPDX-License-Identifier: Apache-2.0
/* Drivers of the other files; each does something wrong on the device that is open, or opens it by itself. */
#ifndef VIOLATIONS_DRIVERS_H
#define VIOLATIONS_DRIVERS_H

/* registers.c */
void config_space(void);
void regions(void);
void asleep(void);
void not_reset(void);
void card(void);

/* opening.c */
void disorder(void);
void no_iommu(void);
void no_domain(void);
void neighbours(void);

/* costs.c */
void busy(void);
void storm(void);
void crumbs(void);
void locked(void);

/* orderly.c */
void orderly(void);
void orderly_line(void);
void orderly_card(void);
void orderly_node(void);

/* driver.c */
void clean(void);

#endif
