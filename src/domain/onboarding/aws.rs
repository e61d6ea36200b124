//! A role in the customer's account that lets us in with the team's external id, and reads.

use serde::Serialize;
use serde_json::{Value, json};

use super::listed_or;

/// What the customer's role is made of.
#[derive(Debug, Clone, Serialize)]
pub struct AwsInvitation {
    /// Whose.
    pub team: String,
    /// The ARN that the trust policy names: ours.
    pub principal: String,
    /// What was made for the team.
    pub external_id: String,
    /// The role's name.
    pub role_name: String,
    /// Buckets, or patterns with `*`; empty: not known yet.
    pub buckets: Vec<String>,
}

/// The ARN that a trust policy names for whoever has this ARN: of a session its role, so that every session is meant.
///
/// A session's ARN lacks the path of its role: one that has a path must be written by hand.
#[must_use]
pub fn principal_of(caller_arn: &str) -> String {
    let parts: Vec<&str> = caller_arn.splitn(6, ':').collect();
    match parts.as_slice() {
        ["arn", partition, "sts", "", account, resource] => match resource.strip_prefix("assumed-role/") {
            Some(session) => {
                let role = session.split('/').next().unwrap_or_default();
                format!("arn:{partition}:iam::{account}:role/{role}")
            }
            None => caller_arn.to_owned(),
        },
        _ => caller_arn.to_owned(),
    }
}

impl AwsInvitation {
    fn partition(&self) -> &str {
        self.principal.split(':').nth(1).filter(|partition| !partition.is_empty()).unwrap_or("aws")
    }

    /// Who may assume the role.
    #[must_use]
    pub fn trust_policy(&self) -> Value {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"AWS": self.principal},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": self.external_id}},
        }]})
    }

    /// What the role may do: read objects, and tell a missing one from a shut one.
    #[must_use]
    pub fn permissions_policy(&self) -> Value {
        let buckets = listed_or(&self.buckets, "YOUR-BUCKET");
        let arns: Vec<String> = buckets.iter().map(|name| format!("arn:{}:s3:::{name}", self.partition())).collect();
        let objects: Vec<String> = arns.iter().map(|arn| format!("{arn}/*")).collect();
        permissions(json!(objects), json!(arns))
    }

    /// Both policies in one document.
    #[must_use]
    pub fn policies(&self) -> Value {
        json!({"trust_policy": self.trust_policy(), "permissions_policy": self.permissions_policy()})
    }

    /// A CloudFormation template that makes the role.
    #[must_use]
    pub fn cloudformation(&self) -> Value {
        let partition = self.partition();
        let mut names = json!({
            "Type": "CommaDelimitedList",
            "Description": "The buckets that may be read, separated by commas.",
        });
        if !self.buckets.is_empty() {
            names["Default"] = json!(self.buckets.join(","));
        }
        // Each name between the same words: a list is joined by what stands between two names, and split again.
        let each = |after: &str| {
            let between = format!("{after},arn:{partition}:s3:::");
            let joined = json!({"Fn::Join": [between, {"Ref": "BucketNames"}]});
            let whole = json!({"Fn::Sub": [format!("arn:{partition}:s3:::${{Names}}{after}"), {"Names": joined}]});
            json!({"Fn::Split": [",", whole]})
        };
        json!({
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": format!("Lets Longshore read objects for team {}.", self.team),
            "Parameters": {"BucketNames": names},
            "Resources": {"LongshoreRole": {"Type": "AWS::IAM::Role", "Properties": {
                "RoleName": self.role_name,
                "MaxSessionDuration": 3600,
                "AssumeRolePolicyDocument": self.trust_policy(),
                "Policies": [{"PolicyName": "longshore-read", "PolicyDocument": permissions(each("/*"), each(""))}],
            }}},
            "Outputs": {"RoleArn": {
                "Description": "Send this to whoever invited you.",
                "Value": {"Fn::GetAtt": ["LongshoreRole", "Arn"]},
            }},
        })
    }

    /// A Terraform module that makes the role.
    #[must_use]
    pub fn terraform(&self) -> String {
        let default = match self.buckets.is_empty() {
            true => String::new(),
            false => format!("\n  default     = {}", json!(self.buckets)),
        };
        let (partition, role) = (self.partition(), json!(self.role_name));
        let (principal, external_id) = (json!(self.principal), json!(self.external_id));
        format!(
            r#"# Lets Longshore read objects for team {team}.

variable "bucket_names" {{
  description = "The buckets that may be read."
  type        = list(string){default}
}}

resource "aws_iam_role" "longshore" {{
  name                 = {role}
  max_session_duration = 3600

  assume_role_policy = jsonencode({{
    Version = "2012-10-17"
    Statement = [{{
      Effect    = "Allow"
      Principal = {{ AWS = {principal} }}
      Action    = "sts:AssumeRole"
      Condition = {{ StringEquals = {{ "sts:ExternalId" = {external_id} }} }}
    }}]
  }})
}}

resource "aws_iam_role_policy" "longshore_read" {{
  name = "longshore-read"
  role = aws_iam_role.longshore.id

  policy = jsonencode({{
    Version = "2012-10-17"
    Statement = [
      {{
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:GetObjectVersion"]
        Resource = [for name in var.bucket_names : "arn:{partition}:s3:::${{name}}/*"]
      }},
      {{
        Effect   = "Allow"
        Action   = ["s3:ListBucket"]
        Resource = [for name in var.bucket_names : "arn:{partition}:s3:::${{name}}"]
      }},
    ]
  }})
}}

output "role_arn" {{
  description = "Send this to whoever invited you."
  value       = aws_iam_role.longshore.arn
}}"#,
            team = self.team
        )
    }

    /// Instructions for a person.
    #[must_use]
    pub fn text(&self) -> String {
        let pretty = |value: &Value| serde_json::to_string_pretty(value).expect("a document is plain text");
        let team = &self.team;
        format!(
            "Let Longshore read objects of your AWS account, for team {team}\n\
             \n\
             1. Make a role named {role} with this trust policy. The external id is yours alone; leave it as it is.\n\
             \n{trust}\n\
             \n\
             2. Give the role this policy. Without s3:ListBucket a missing object cannot be told from a shut one.\n\
             \n{permissions}\n\
             \n\
             3. Where objects are encrypted with a key of your own (SSE-KMS), allow the role kms:Decrypt on that key.\n\
             \n\
             4. Send back the role's ARN. The team's record then says:\n\
             \n\
             [{team}.aws]\n\
             role_arn = \"arn:{partition}:iam::YOUR-ACCOUNT:role/{role}\"\n\
             external_id = \"{id}\"\n\
             \n\
             and `longshore team check {team}` shows whether all is well.",
            role = self.role_name,
            trust = pretty(&self.trust_policy()),
            permissions = pretty(&self.permissions_policy()),
            partition = self.partition(),
            id = self.external_id,
        )
    }
}

fn permissions(objects: Value, buckets: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [
        {"Effect": "Allow", "Action": ["s3:GetObject", "s3:GetObjectVersion"], "Resource": objects},
        {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": buckets},
    ]})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation(buckets: &[&str]) -> AwsInvitation {
        AwsInvitation {
            team: "acme".into(),
            principal: "arn:aws:iam::111122223333:role/worker".into(),
            external_id: "6f1d0c1e".into(),
            role_name: "Longshore-Integration".into(),
            buckets: buckets.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    #[test]
    fn a_session_stands_for_its_role_and_anybody_else_for_itself() {
        for (caller, principal) in [
            ("arn:aws:sts::111122223333:assumed-role/worker/pod-1", "arn:aws:iam::111122223333:role/worker"),
            ("arn:aws-cn:sts::111122223333:assumed-role/w/i-1", "arn:aws-cn:iam::111122223333:role/w"),
            ("arn:aws:iam::111122223333:user/ops/worker", "arn:aws:iam::111122223333:user/ops/worker"),
            ("arn:aws:iam::111122223333:root", "arn:aws:iam::111122223333:root"),
        ] {
            assert_eq!(principal_of(caller), principal);
        }
    }

    #[test]
    fn only_our_identity_with_the_teams_id_is_trusted_and_only_to_read() {
        let invitation = invitation(&["acme-raw", "acme-frames-*"]);
        let trust = invitation.trust_policy();
        let statement = &trust["Statement"][0];
        assert_eq!(statement["Principal"]["AWS"], "arn:aws:iam::111122223333:role/worker");
        assert_eq!(statement["Condition"]["StringEquals"]["sts:ExternalId"], "6f1d0c1e");
        let permissions = invitation.permissions_policy();
        let objects = json!(["arn:aws:s3:::acme-raw/*", "arn:aws:s3:::acme-frames-*/*"]);
        assert_eq!(permissions["Statement"][0]["Resource"], objects);
        assert_eq!(
            permissions["Statement"][1]["Resource"],
            json!(["arn:aws:s3:::acme-raw", "arn:aws:s3:::acme-frames-*"])
        );
        for action in permissions["Statement"].as_array().into_iter().flatten().flat_map(|one| one["Action"].as_array())
        {
            assert!(action.iter().all(|name| {
                ["s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket"].contains(&name.as_str().unwrap())
            }));
        }
    }

    /// What CloudFormation makes of the template's functions, for these bucket names.
    fn resolved(value: &Value, names: &[&str]) -> Value {
        match value {
            Value::Object(one) if one.contains_key("Fn::Split") => {
                let whole = resolved(&one["Fn::Split"][1], names);
                json!(whole.as_str().unwrap().split(one["Fn::Split"][0].as_str().unwrap()).collect::<Vec<_>>())
            }
            Value::Object(one) if one.contains_key("Fn::Sub") => {
                let inner = resolved(&one["Fn::Sub"][1]["Names"], names);
                json!(one["Fn::Sub"][0].as_str().unwrap().replace("${Names}", inner.as_str().unwrap()))
            }
            Value::Object(one) if one.contains_key("Fn::Join") => {
                assert_eq!(one["Fn::Join"][1]["Ref"], "BucketNames");
                json!(names.join(one["Fn::Join"][0].as_str().unwrap()))
            }
            Value::Object(one) => one.iter().map(|(name, value)| (name.clone(), resolved(value, names))).collect(),
            Value::Array(all) => all.iter().map(|value| resolved(value, names)).collect(),
            other => other.clone(),
        }
    }

    #[test]
    fn the_template_makes_the_same_role_as_the_policies_say() {
        let known = invitation(&["one", "two-*"]);
        let template = known.cloudformation();
        assert_eq!(template["Parameters"]["BucketNames"]["Default"], "one,two-*");
        let role = &template["Resources"]["LongshoreRole"]["Properties"];
        assert_eq!(
            (&role["RoleName"], &role["AssumeRolePolicyDocument"]),
            (&json!("Longshore-Integration"), &known.trust_policy())
        );
        let policy = resolved(&role["Policies"][0]["PolicyDocument"], &["one", "two-*"]);
        assert_eq!(policy, known.permissions_policy());
        assert!(invitation(&[]).cloudformation()["Parameters"]["BucketNames"].get("Default").is_none());
    }

    #[test]
    fn the_module_is_closed_and_names_what_the_policies_name() {
        for (buckets, default) in [(&["one"][..], true), (&[], false)] {
            let module = invitation(buckets).terraform();
            for (open, close) in [('{', '}'), ('[', ']'), ('(', ')')] {
                let count = |wanted: char| module.chars().filter(|c| *c == wanted).count();
                assert_eq!(count(open), count(close), "{open}\n{module}");
            }
            assert_eq!(module.contains("default     = [\"one\"]"), default, "{module}");
            for part in ["\"arn:aws:iam::111122223333:role/worker\"", "\"sts:ExternalId\" = \"6f1d0c1e\"", "${name}/*"]
            {
                assert!(module.contains(part), "{part}\n{module}");
            }
        }
    }

    #[test]
    fn instructions_hold_everything_that_must_be_written_down() {
        let text = invitation(&[]).text();
        for part in ["Longshore-Integration", "6f1d0c1e", "arn:aws:s3:::YOUR-BUCKET/*", "role_arn =", "team check acme"]
        {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
