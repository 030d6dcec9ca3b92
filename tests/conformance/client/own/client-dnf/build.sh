# Make packages and a repository of them in the folder $1, install some and spoil them.
set -e
top=$1
build() { # name version release content
cat > $top/$1.spec <<S
Name: $1
Version: $2
Release: $3
Summary: test
License: x
BuildArch: noarch
$4
%description
test
%install
mkdir -p %{buildroot}/opt/$1 %{buildroot}/etc
echo $2 > %{buildroot}/opt/$1/data
ln -s data %{buildroot}/opt/$1/link
echo conf > %{buildroot}/etc/$1.conf
%files
/opt/$1
%config(noreplace) /etc/$1.conf
S
rpmbuild -bb --define "_topdir $top/rb" --define "_rpmdir $top/repo" $top/$1.spec >/dev/null 2>$top/err || cat $top/err
}
mkdir -p $top/repo
build alpha 1.0 1
build alpha 1.1 1
build beta 2.0 1
build gamma 1.0 1 "Provides: tools"
build delta 1.0 1
build delta 1.5 2
build epsilon 3.0 1
createrepo_c -q $top/repo
mkdir -p /etc/yum.repos.d
printf '[t]\nname=t\nbaseurl=file://%s/repo\ngpgcheck=0\nenabled=1\nmetadata_expire=1\n' $top > /etc/yum.repos.d/t.repo
dnf -q -y install alpha-1.0 beta gamma delta-1.5
echo changed > /opt/beta/data
echo changed > /etc/gamma.conf
rm /opt/gamma/link
