//! Symbolic links at the source: skipped, followed or refused, as the profile says.

use domain::names::readable;
use domain::profile::{Source, Symlinks};
use domain::{ErrorClass, Failure};
use sftp::{Entry, Kind, Leads, Session};

/// Links that are named one by one; of more their number is told.
const NAMED_MAX: usize = 20;

/// What became of the links.
#[derive(Default)]
pub(crate) struct Judged {
    /// Files, under the names of the links that lead to them.
    pub(crate) followed: Vec<Entry>,
    /// Links that were left alone.
    pub(crate) left_alone: u64,
    /// A line for each of those, up to a limit.
    pub(crate) warnings: Vec<String>,
}

impl Judged {
    fn leave(&mut self, link: &Entry, why: &str) {
        self.left_alone += 1;
        if self.warnings.len() < NAMED_MAX {
            let name = readable(&link.path);
            self.warnings.push(format!("{name:?} is a symbolic link and was left alone: {why}."));
        }
    }

    fn count_the_rest(&mut self) {
        let unnamed = self.left_alone - self.warnings.len() as u64;
        if unnamed > 0 {
            self.warnings.push(format!("{unnamed} more symbolic links were left alone."));
        }
    }
}

/// Judges the links that the patterns let through.
///
/// # Errors
/// `Misconfigured` for any link where the profile refuses them; `Transient` from the network.
pub(crate) async fn judge(
    session: &Session,
    source: &Source,
    links: Vec<Entry>,
) -> Result<Judged, Failure> {
    let mut judged = Judged::default();
    for link in &links {
        match source.symlinks {
            Symlinks::Skip => {
                judged.leave(link, "set source.symlinks to \"follow\" to take what it leads to");
            }
            Symlinks::Refuse => return Err(refused(source, link)),
            Symlinks::Follow => match target(session, source, link).await? {
                Ok(file) => judged.followed.push(file),
                Err(why) => judged.leave(link, &why),
            },
        }
    }
    judged.count_the_rest();
    Ok(judged)
}

fn refused(source: &Source, link: &Entry) -> Failure {
    Failure::misconfigured(
        "source.symlink",
        format!(
            "{:?} in {} is a symbolic link and source.symlinks is \"refuse\"; have the partner \
             replace it by the file, or set \"skip\" or \"follow\".",
            readable(&link.path),
            source.directory
        ),
    )
}

/// The file that a link leads to, or why it is not taken.
async fn target(
    session: &Session,
    source: &Source,
    link: &Entry,
) -> Result<Result<Entry, String>, Failure> {
    let leads = match session.follow(&source.directory, &link.path).await {
        Ok(leads) => leads,
        Err(error) => {
            let failure = Failure::from(error);
            // One link that cannot be looked through is that link's matter.
            let its_own = matches!(failure.class, ErrorClass::Rejected | ErrorClass::Misconfigured);
            return if its_own { Ok(Err(failure.message)) } else { Err(failure) };
        }
    };
    Ok(match leads {
        Leads::ToFile(found) => Ok(Entry {
            path: link.path.clone(),
            size: found.size,
            mtime: found.mtime,
            kind: Kind::File,
        }),
        Leads::ToDirectory => Err("it leads to a directory, which is not entered".to_owned()),
        Leads::ToOther => Err("it leads to what is no regular file".to_owned()),
        Leads::Nowhere => Err("it leads to nothing".to_owned()),
        Leads::Out(_) => Err("it leads out of the source directory".to_owned()),
        Leads::InCircles => Err("it leads in circles".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_links_are_named_up_to_a_limit_and_then_counted() {
        for (links, lines, last) in [
            (0, 0, ""),
            (19, 19, "\"19\" is a symbolic link and was left alone: why."),
            (20, 20, "\"20\" is a symbolic link and was left alone: why."),
            (21, 21, "1 more symbolic links were left alone."),
            (50, 21, "30 more symbolic links were left alone."),
        ] {
            let mut judged = Judged::default();
            for number in 1..=links {
                let path = number.to_string();
                judged.leave(&Entry { path, size: 1, mtime: 1, kind: Kind::Symlink }, "why");
            }
            judged.count_the_rest();
            assert_eq!((judged.left_alone, judged.warnings.len()), (links, lines), "{links}");
            assert_eq!(judged.warnings.last().map_or("", String::as_str), last);
        }
    }
}
