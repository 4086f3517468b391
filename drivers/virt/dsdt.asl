/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Namespace of the virtual Q35: the PCI root, the ISA devices that stock kernels look for, and S5.
 * Fixed for every guest: CPUs and IOAPIC are in the MADT. Addresses repeat
 * drivers/virt/acpi_tables.h (the unit test compares them). Devices without a model here must not
 * be named here.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "BULKHD", "BULKHEAD", 0x00000001)
{
    /* SLP_TYP for PM1a_CNT, SLP_TYP for PM1b_CNT (there is none), reserved, reserved */
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_SEG, 0)
            Name (_BBN, 0)
            Name (_UID, 0)

            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0x0000, 0x00FF, 0, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0000, 0x0CF7, 0, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0x0D00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable,
                    ReadWrite,
                    0, 0x000B8000, 0x000BFFFF, 0, 0x00008000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable,
                    ReadWrite,
                    0, 0xC0000000, 0xFEBFFFFF, 0, 0x3EC00000)
            })

            /*
             * PCI Firmware Specification, _OSC for PCI host bridges: native PME, AER and the PCI
             * Express capability are the guest's; hot plug does not exist.
             */
            Method (_OSC, 4, NotSerialized)
            {
                CreateDWordField (Arg3, 0, CDW1)
                If (Arg0 == ToUUID ("33DB4D5B-1FF7-401C-9657-7441C03DD766"))
                {
                    CreateDWordField (Arg3, 8, CDW3)
                    If (Arg1 != 1)
                    {
                        CDW1 |= 0x08 /* unrecognised revision */
                    }
                    Local0 = CDW3 & 0x1C
                    If (Local0 != CDW3)
                    {
                        CDW1 |= 0x10 /* capabilities masked */
                    }
                    CDW3 = Local0
                }
                Else
                {
                    CDW1 |= 0x04 /* unrecognised UUID */
                }
                Return (Arg3)
            }

            Device (ISA)
            {
                Name (_ADR, 0x001F0000) /* the ICH9 LPC bridge */

                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0020, 0x0020, 1, 2)
                        IO (Decode16, 0x00A0, 0x00A0, 1, 2)
                        IO (Decode16, 0x04D0, 0x04D0, 1, 2)
                        IRQNoFlags () { 2 }
                    })
                }

                Device (PIT)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 1, 4)
                        IRQNoFlags () { 0 }
                    })
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 1, 4)
                        IRQNoFlags () { 8 }
                    })
                }

                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 1, 1)
                        IO (Decode16, 0x0064, 0x0064, 1, 1)
                        IRQNoFlags () { 1 }
                    })
                }

                /* text modes only: no frame buffer */
                Device (VGA)
                {
                    Name (_HID, EisaId ("PNP0900"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03B0, 0x03B0, 1, 12)
                        IO (Decode16, 0x03C0, 0x03C0, 1, 32)
                        Memory32Fixed (ReadWrite, 0x000B8000, 0x00008000)
                    })
                }

                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F8, 0x03F8, 1, 8)
                        IRQNoFlags () { 4 }
                    })
                }
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400)
            })
        }

        /* What belongs to no device: the configuration window and the power-management ports. */
        Device (MRES)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xB0000000, 0x10000000)
                IO (Decode16, 0x0600, 0x0600, 1, 0x80)
                IO (Decode16, 0x00B2, 0x00B2, 1, 2)
                IO (Decode16, 0x0061, 0x0061, 1, 1)
                IO (Decode16, 0x0080, 0x0080, 1, 1)
                IO (Decode16, 0x0092, 0x0092, 1, 1)
                IO (Decode16, 0x0402, 0x0402, 1, 1)
            })
        }
    }
}
