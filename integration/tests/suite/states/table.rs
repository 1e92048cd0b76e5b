//! What must come of a state that fails always, written by hand: neither the engine nor a stage
//! computes any of it.
//!
//! The source holds `customers.csv` and `orders.zip`: two files, three members, one of which is
//! large and goes to Spark. In a row, `failed` says how many files or members end in `failed/`, at
//! which stage and of which class; `open` says how many end nowhere, and the lease is `free` unless
//! the run could not give it back. A row that reads `2 delivered` has two at the target.
//!
//! - A failing Discover has no files yet; a failing Plan or Size ends the run in Finish, which gives
//!   up on files that are not opened, else on members.
//! - In a Map the parcel goes to quarantine. What is not one of our classes ends there as
//!   `Transient`: its retries were spent and the file is not to blame.
//! - `Misconfigured` is the partner's fault wherever it appears: it stops what is not yet connected.
//! - When a quarantine cannot write, the next stage of the Map meets items without what it needs and
//!   rejects them. After a Map's last stage there is none, items are in no final place, and the run
//!   is `Unaccounted`; QuarantineCountLarge can still hand its error to Finish.
//! - A failing Finish leaves the lease; the next run takes it over from the dead execution.
//! - An event that nobody hears changes nothing.

/// One state and one way to fail always.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) state: &'static str,
    pub(super) error: &'static str,
    /// `Succeeded`, or the error that the execution ends with.
    pub(super) end: &'static str,
    pub(super) delivered: usize,
    /// `2:download:Rejected+1:report:Transient`, or `-`.
    pub(super) failed: &'static str,
    pub(super) open: usize,
    /// `free` or `held`.
    pub(super) lease: &'static str,
}

/// Every row of the table.
pub(super) fn rows() -> Vec<Row> {
    let rows = TABLE.lines().filter(|line| !line.trim().is_empty());
    rows.map(|line| {
        let cells: Vec<&'static str> = line.split_whitespace().collect();
        let [state, error, end, delivered, failed, open, lease] = cells[..] else {
            panic!("a row has seven cells: {line}");
        };
        let number = |cell: &str| cell.parse().unwrap_or_else(|_| panic!("no number: {line}"));
        Row { state, error, end, delivered: number(delivered), failed, open: number(open), lease }
    })
    .collect()
}

// state              error          ends as    delivered failed                            open lease
const TABLE: &str = "
Discover             Transient      RunIncomplete 0 -                                        0 free
Discover             Throttled      RunIncomplete 0 -                                        0 free
Discover             SourceChanged  RunIncomplete 0 -                                        0 free
Discover             Rejected       RunIncomplete 0 -                                        0 free
Discover             Misconfigured  Misconfigured 0 -                                        0 free
Discover             Lambda.Unknown RunIncomplete 0 -                                        0 free
Discover             States.Timeout RunIncomplete 0 -                                        0 free

PlanFetch            Transient      RunIncomplete 0 2:finish:Transient                       0 free
PlanFetch            Throttled      RunIncomplete 0 2:finish:Throttled                       0 free
PlanFetch            SourceChanged  RunIncomplete 0 2:finish:SourceChanged                   0 free
PlanFetch            Rejected       RunIncomplete 0 2:finish:Rejected                        0 free
PlanFetch            Misconfigured  Misconfigured 0 2:finish:Misconfigured                   0 free
PlanFetch            Lambda.Unknown RunIncomplete 0 2:finish:Transient                       0 free
PlanFetch            States.Timeout RunIncomplete 0 2:finish:Transient                       0 free

Download             Transient      RunIncomplete 0 2:download:Transient                     0 free
Download             Throttled      RunIncomplete 0 2:download:Throttled                     0 free
Download             SourceChanged  RunIncomplete 0 2:download:SourceChanged                 0 free
Download             Rejected       RunIncomplete 0 2:download:Rejected                      0 free
Download             Misconfigured  Misconfigured 0 2:download:Misconfigured                 0 free
Download             Lambda.Unknown RunIncomplete 0 2:download:Transient                     0 free
Download             States.Timeout RunIncomplete 0 2:download:Transient                     0 free

QuarantineDownload   Transient      RunIncomplete 0 2:unpack:Rejected                        0 free
QuarantineDownload   Throttled      RunIncomplete 0 2:unpack:Rejected                        0 free
QuarantineDownload   SourceChanged  RunIncomplete 0 2:unpack:Rejected                        0 free
QuarantineDownload   Rejected       RunIncomplete 0 2:unpack:Rejected                        0 free
QuarantineDownload   Misconfigured  RunIncomplete 0 2:unpack:Rejected                        0 free
QuarantineDownload   Lambda.Unknown RunIncomplete 0 2:unpack:Rejected                        0 free
QuarantineDownload   States.Timeout RunIncomplete 0 2:unpack:Rejected                        0 free

Unpack               Transient      RunIncomplete 0 2:unpack:Transient                       0 free
Unpack               Throttled      RunIncomplete 0 2:unpack:Throttled                       0 free
Unpack               SourceChanged  RunIncomplete 0 2:unpack:SourceChanged                   0 free
Unpack               Rejected       RunIncomplete 0 2:unpack:Rejected                        0 free
Unpack               Misconfigured  Misconfigured 0 2:unpack:Misconfigured                   0 free
Unpack               Lambda.Unknown RunIncomplete 0 2:unpack:Transient                       0 free
Unpack               States.Timeout RunIncomplete 0 2:unpack:Transient                       0 free

QuarantineUnpack     Transient      Unaccounted   0 -                                        2 free
QuarantineUnpack     Throttled      Unaccounted   0 -                                        2 free
QuarantineUnpack     SourceChanged  Unaccounted   0 -                                        2 free
QuarantineUnpack     Rejected       Unaccounted   0 -                                        2 free
QuarantineUnpack     Misconfigured  Unaccounted   0 -                                        2 free
QuarantineUnpack     Lambda.Unknown Unaccounted   0 -                                        2 free
QuarantineUnpack     States.Timeout Unaccounted   0 -                                        2 free

PlanInspect          Transient      RunIncomplete 0 3:finish:Transient                       0 free
PlanInspect          Throttled      RunIncomplete 0 3:finish:Throttled                       0 free
PlanInspect          SourceChanged  RunIncomplete 0 3:finish:SourceChanged                   0 free
PlanInspect          Rejected       RunIncomplete 0 3:finish:Rejected                        0 free
PlanInspect          Misconfigured  Misconfigured 0 3:finish:Misconfigured                   0 free
PlanInspect          Lambda.Unknown RunIncomplete 0 3:finish:Transient                       0 free
PlanInspect          States.Timeout RunIncomplete 0 3:finish:Transient                       0 free

Inspect              Transient      RunIncomplete 0 3:inspect:Transient                      0 free
Inspect              Throttled      RunIncomplete 0 3:inspect:Throttled                      0 free
Inspect              SourceChanged  RunIncomplete 0 3:inspect:SourceChanged                  0 free
Inspect              Rejected       RunIncomplete 0 3:inspect:Rejected                       0 free
Inspect              Misconfigured  Misconfigured 0 3:inspect:Misconfigured                  0 free
Inspect              Lambda.Unknown RunIncomplete 0 3:inspect:Transient                      0 free
Inspect              States.Timeout RunIncomplete 0 3:inspect:Transient                      0 free

QuarantineInspect    Transient      Unaccounted   0 -                                        3 free
QuarantineInspect    Throttled      Unaccounted   0 -                                        3 free
QuarantineInspect    SourceChanged  Unaccounted   0 -                                        3 free
QuarantineInspect    Rejected       Unaccounted   0 -                                        3 free
QuarantineInspect    Misconfigured  Unaccounted   0 -                                        3 free
QuarantineInspect    Lambda.Unknown Unaccounted   0 -                                        3 free
QuarantineInspect    States.Timeout Unaccounted   0 -                                        3 free

Size                 Transient      RunIncomplete 0 3:finish:Transient                       0 free
Size                 Throttled      RunIncomplete 0 3:finish:Throttled                       0 free
Size                 SourceChanged  RunIncomplete 0 3:finish:SourceChanged                   0 free
Size                 Rejected       RunIncomplete 0 3:finish:Rejected                        0 free
Size                 Misconfigured  Misconfigured 0 3:finish:Misconfigured                   0 free
Size                 Lambda.Unknown RunIncomplete 0 3:finish:Transient                       0 free
Size                 States.Timeout RunIncomplete 0 3:finish:Transient                       0 free

CountLarge           Transient      RunIncomplete 2 1:count-large:Transient                  0 free
CountLarge           Throttled      RunIncomplete 2 1:count-large:Throttled                  0 free
CountLarge           SourceChanged  RunIncomplete 2 1:count-large:SourceChanged              0 free
CountLarge           Rejected       RunIncomplete 2 1:count-large:Rejected                   0 free
CountLarge           Misconfigured  Misconfigured 0 1:count-large:Misconfigured+2:report:Misconfigured 0 free
CountLarge           Lambda.Unknown RunIncomplete 2 1:count-large:Transient                  0 free
CountLarge           States.Timeout RunIncomplete 2 1:count-large:Transient                  0 free

QuarantineCountLarge Transient      RunIncomplete 0 3:finish:Transient                       0 free
QuarantineCountLarge Throttled      RunIncomplete 0 3:finish:Throttled                       0 free
QuarantineCountLarge SourceChanged  RunIncomplete 0 3:finish:SourceChanged                   0 free
QuarantineCountLarge Rejected       RunIncomplete 0 3:finish:Rejected                        0 free
QuarantineCountLarge Misconfigured  Misconfigured 0 3:finish:Misconfigured                   0 free
QuarantineCountLarge Lambda.Unknown RunIncomplete 0 3:finish:Transient                       0 free
QuarantineCountLarge States.Timeout RunIncomplete 0 3:finish:Transient                       0 free

PlanSeal             Transient      RunIncomplete 0 3:finish:Transient                       0 free
PlanSeal             Throttled      RunIncomplete 0 3:finish:Throttled                       0 free
PlanSeal             SourceChanged  RunIncomplete 0 3:finish:SourceChanged                   0 free
PlanSeal             Rejected       RunIncomplete 0 3:finish:Rejected                        0 free
PlanSeal             Misconfigured  Misconfigured 0 3:finish:Misconfigured                   0 free
PlanSeal             Lambda.Unknown RunIncomplete 0 3:finish:Transient                       0 free
PlanSeal             States.Timeout RunIncomplete 0 3:finish:Transient                       0 free

Report               Transient      RunIncomplete 0 3:report:Transient                       0 free
Report               Throttled      RunIncomplete 0 3:report:Throttled                       0 free
Report               SourceChanged  RunIncomplete 0 3:report:SourceChanged                   0 free
Report               Rejected       RunIncomplete 0 3:report:Rejected                        0 free
Report               Misconfigured  Misconfigured 0 3:report:Misconfigured                   0 free
Report               Lambda.Unknown RunIncomplete 0 3:report:Transient                       0 free
Report               States.Timeout RunIncomplete 0 3:report:Transient                       0 free

Encrypt              Transient      RunIncomplete 0 3:encrypt:Transient                      0 free
Encrypt              Throttled      RunIncomplete 0 3:encrypt:Throttled                      0 free
Encrypt              SourceChanged  RunIncomplete 0 3:encrypt:SourceChanged                  0 free
Encrypt              Rejected       RunIncomplete 0 3:encrypt:Rejected                       0 free
Encrypt              Misconfigured  Misconfigured 0 3:encrypt:Misconfigured                  0 free
Encrypt              Lambda.Unknown RunIncomplete 0 3:encrypt:Transient                      0 free
Encrypt              States.Timeout RunIncomplete 0 3:encrypt:Transient                      0 free

QuarantineReport     Transient      RunIncomplete 0 3:encrypt:Rejected                       0 free
QuarantineReport     Throttled      RunIncomplete 0 3:encrypt:Rejected                       0 free
QuarantineReport     SourceChanged  RunIncomplete 0 3:encrypt:Rejected                       0 free
QuarantineReport     Rejected       RunIncomplete 0 3:encrypt:Rejected                       0 free
QuarantineReport     Misconfigured  RunIncomplete 0 3:encrypt:Rejected                       0 free
QuarantineReport     Lambda.Unknown RunIncomplete 0 3:encrypt:Rejected                       0 free
QuarantineReport     States.Timeout RunIncomplete 0 3:encrypt:Rejected                       0 free

QuarantineEncrypt    Transient      Unaccounted   0 -                                        3 free
QuarantineEncrypt    Throttled      Unaccounted   0 -                                        3 free
QuarantineEncrypt    SourceChanged  Unaccounted   0 -                                        3 free
QuarantineEncrypt    Rejected       Unaccounted   0 -                                        3 free
QuarantineEncrypt    Misconfigured  Unaccounted   0 -                                        3 free
QuarantineEncrypt    Lambda.Unknown Unaccounted   0 -                                        3 free
QuarantineEncrypt    States.Timeout Unaccounted   0 -                                        3 free

PlanDeliver          Transient      RunIncomplete 0 3:finish:Transient                       0 free
PlanDeliver          Throttled      RunIncomplete 0 3:finish:Throttled                       0 free
PlanDeliver          SourceChanged  RunIncomplete 0 3:finish:SourceChanged                   0 free
PlanDeliver          Rejected       RunIncomplete 0 3:finish:Rejected                        0 free
PlanDeliver          Misconfigured  Misconfigured 0 3:finish:Misconfigured                   0 free
PlanDeliver          Lambda.Unknown RunIncomplete 0 3:finish:Transient                       0 free
PlanDeliver          States.Timeout RunIncomplete 0 3:finish:Transient                       0 free

Upload               Transient      RunIncomplete 0 3:upload:Transient                       0 free
Upload               Throttled      RunIncomplete 0 3:upload:Throttled                       0 free
Upload               SourceChanged  RunIncomplete 0 3:upload:SourceChanged                   0 free
Upload               Rejected       RunIncomplete 0 3:upload:Rejected                        0 free
Upload               Misconfigured  Misconfigured 0 3:upload:Misconfigured                   0 free
Upload               Lambda.Unknown RunIncomplete 0 3:upload:Transient                       0 free
Upload               States.Timeout RunIncomplete 0 3:upload:Transient                       0 free

QuarantineUpload     Transient      Unaccounted   0 -                                        3 free
QuarantineUpload     Throttled      Unaccounted   0 -                                        3 free
QuarantineUpload     SourceChanged  Unaccounted   0 -                                        3 free
QuarantineUpload     Rejected       Unaccounted   0 -                                        3 free
QuarantineUpload     Misconfigured  Unaccounted   0 -                                        3 free
QuarantineUpload     Lambda.Unknown Unaccounted   0 -                                        3 free
QuarantineUpload     States.Timeout Unaccounted   0 -                                        3 free

Finish               Transient      RunIncomplete 3 -                                        0 held
Finish               Throttled      RunIncomplete 3 -                                        0 held
Finish               SourceChanged  RunIncomplete 3 -                                        0 held
Finish               Rejected       RunIncomplete 3 -                                        0 held
Finish               Misconfigured  RunIncomplete 3 -                                        0 held
Finish               Lambda.Unknown RunIncomplete 3 -                                        0 held
Finish               States.Timeout RunIncomplete 3 -                                        0 held

Announce             Transient      Succeeded     3 -                                        0 free
Announce             Throttled      Succeeded     3 -                                        0 free
Announce             SourceChanged  Succeeded     3 -                                        0 free
Announce             Rejected       Succeeded     3 -                                        0 free
Announce             Misconfigured  Succeeded     3 -                                        0 free
Announce             Lambda.Unknown Succeeded     3 -                                        0 free
Announce             States.Timeout Succeeded     3 -                                        0 free
";
